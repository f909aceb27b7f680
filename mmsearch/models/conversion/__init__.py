"""Turns the weights that others publish into the networks that mmsearch runs, once."""
