"""The cost model beside measured devices: fitted to them, and judged."""
