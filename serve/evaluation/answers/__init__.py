"""`chipalign eval answers`: what a running gateway answers, and which answer mode suits a model."""
