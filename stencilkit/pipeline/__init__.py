"""The order of the stages, one module per thing that is done.

`building`, `verifying`, `bundling`, `placing`, `installing`, `testing`. Each is imported by itself: what verifies loads
no compiler's support.
"""
