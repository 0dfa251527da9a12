"""`vqdna demo`, on the checkpoint of the package or from scratch."""
