"""What runs inside a kernel: NumPy scalars, the functions of them, wide loads and stores."""
