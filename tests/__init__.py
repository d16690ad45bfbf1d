"""Tests of stencilkit, and what they share."""
