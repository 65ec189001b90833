"""What SmartLearn Metrics carries, beside its peers on the same servers: `make bench`. No test asserts a time."""
