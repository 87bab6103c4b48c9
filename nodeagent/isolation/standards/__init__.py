"""The Pod Security Standards: which level a pod's spec meets, and what of it violates which control."""
