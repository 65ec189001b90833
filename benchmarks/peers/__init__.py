"""The systems that SmartLearn Metrics is measured beside, each in the form that suits it best."""
