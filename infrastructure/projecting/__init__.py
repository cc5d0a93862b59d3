"""Read models kept live: folded batch by batch, built again beside the old, watched over."""
