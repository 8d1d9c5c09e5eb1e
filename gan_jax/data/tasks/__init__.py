"""What is made of a data set for a task: pairs, sources, few labels."""
