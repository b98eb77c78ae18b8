"""Why a design costs what it does, in words and tables."""
