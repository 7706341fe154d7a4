"""Values of the scheduler, frozen copies of rows. This package reads and writes nothing."""
