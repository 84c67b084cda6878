"""`chipalign eval answers`: what a running gateway answers, and which way of answering suits a model."""
