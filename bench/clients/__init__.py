"""The contenders of B3: each a process that makes calls for as long as it is told, and says how many."""
