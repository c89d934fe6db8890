"""What users test their own workflows with: a pytest plugin, and the pieces it is made of."""
