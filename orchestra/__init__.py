"""The words and shared machinery of Job Orchestra: records, states, errors, storage, protocol, definitions, CLI."""
