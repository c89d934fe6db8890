"""The compiled graph: nodes, edges, pure routing, and the doors that LangGraph leaves open, closed in one place."""
