"""The harness: a matrix becomes cells, cells are run repeat by repeat, and each repeat is audited and bundled."""
