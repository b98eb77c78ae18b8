"""The KerasTuner oracle: proposes within budgets, and survives kills."""
