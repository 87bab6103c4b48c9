"""What a pod can see, do and cost under each runtime: probes run as pods of a private node, findings, a comparison."""
