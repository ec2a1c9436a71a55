"""The truth: tables, the two databases that can hold them, and the statements that read and change them."""
