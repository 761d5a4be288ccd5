"""What Whorl is: the door, its rules, its log and its disk."""
