"""What sends events: the SDK that a program holds, the node agent, the importer and the demo."""
