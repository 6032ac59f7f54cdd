"""Interactive views, one file each; every one stands beside a static figure of the same."""
