"""From an emotion to attribute targets, by supervised clustering."""
