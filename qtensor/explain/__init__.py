"""Plans and pipelines as people read them."""
