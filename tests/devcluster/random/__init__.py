"""Random objects of ten kinds, written in random ways to both servers."""
