"""`cosearch compare_bit_widths` of this checkout."""

from tf_cosearch import commands

if __name__ == "__main__":
    commands.run_script(__file__)
