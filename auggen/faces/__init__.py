"""Face sets: labelled images in Parquet shards with a manifest."""
