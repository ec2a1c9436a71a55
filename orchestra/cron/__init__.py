"""When a schedule is due: expressions, clock changes, and the sentence that says it."""
