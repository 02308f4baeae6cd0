"""What the tests share: byte builders, Hypothesis strategies, and the two reference wheels as oracles."""
