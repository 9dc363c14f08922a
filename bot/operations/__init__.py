"""Running a deployment: back-up and restore, and a doctor that says in plain words what is wrong."""
