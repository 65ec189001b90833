"""The world of the demo: pure functions of a seed and of time, drawn with numpy, without a clock or a state."""
