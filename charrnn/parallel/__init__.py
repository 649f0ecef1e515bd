"""Data-parallel training: processes on this machine that share memory, or MPI on several machines."""
