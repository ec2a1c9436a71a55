"""The words and the shared machinery of Job Orchestra: records, states, errors, storage, protocol, definitions, command line."""
