"""What a network costs on an accelerator."""
