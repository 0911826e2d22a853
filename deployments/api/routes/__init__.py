"""The routes, a module for each thing that clients ask for."""
