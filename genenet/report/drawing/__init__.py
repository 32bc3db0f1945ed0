"""Drawings of gene graphs and networks.

``canvas`` draws boxes, texts and arrows. ``genes`` lays out and draws a gene graph; ``layout`` lays out a network, and
``network`` draws it.
"""
