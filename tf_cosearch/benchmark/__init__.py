"""Measures this package: its speed, its algorithms, and what kills cost it.

- The cost model: `speed` measures on `random_tables`, `machine_limits` compares
  with the machine, `speed_table` prints.
- Search algorithms: `comparison` plans `jobs` of `samplers` on `landscapes`,
  whose accuracy is `synthetic`, or on `table_landscapes`; `summary` adds up,
  `comparison_table` prints and `curves` draws.
- A search itself, of `light_trials` on `toys`: `kills` kills its `processes`,
  `chief_load` and `memory` measure what it takes.
"""
