"""What must hold for anything: the pure cores against models of their own, tried with whatever a machine makes up."""
