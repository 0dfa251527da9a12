"""The files a VQDNA repository on the Hub carries: flat, self-contained, installed as `vqdna_hf.modeling`."""
