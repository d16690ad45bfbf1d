"""The order of the stages, one module per thing that is done.

The first list is what a command does; the second, what several of those share. Each is imported by itself: what
verifies loads no compiler's support.

attesting     sign and check statements             building      make the files of one request
auditing      ask the rules of a packager           bundling      pack and unpack several sets
comparing     say what differs between two          gate          build again, varied; compare with the ledger
identifying   which stencils a Python contains      installing    put stencils where `make` finds them
judging       compare with the tree's generator     matrix        the support tables
pinning       the newest releases to the pins       proving       that two sets compute the same
qualifying    all that may be asked of one cell     regenerating  do what build.py does
reporting     results and ledgers to pages          testing       run CPython's tests on stencils
verifying     ask what a manifest claims            witnessing    is the runtime laid out as expected

accounting    proofs beside those of a ledger       admitting     which stencils may be used
aligning      no stencil faults on its data         answering     the questions of qualifying
asking        what clang's driver passes to cc1     clustering    cells on a Dask cluster
companions    the files beside the header           compiling     units to object files, by the cache
configuring   a cell's job to what is built         evidence      what verifying asks its questions of
fitting       a tree beside others' manifests       gathering     what is known of one header
keeping       object files to and from the cache    knowing       words to all that is known of them
making        the inputs of a build to its files    opening       read a folder, manifest or bundle
packing       many entries of the cache in one      placing       which files a CPython's build takes
planning      the cells of a matrix                 questions     the questions of verifying
rebuilding    a manifest to a second build          recalling     answers that are known already
recording     what stencils have compiled in        remembering   whole builds that were made before
rendering     stencils to the text of files         requesting    words to what can be built here
sampling      a tree with some of its uops          scheduling    cells on this machine's processors
subject       what answering asks about             surveying     find the stencils below a folder
universal     two builds to one for both halves     varying       put a build under variations
"""
