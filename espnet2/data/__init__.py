"""From a corpus on disk to a training batch: directories, shards, index, plan, augmentation."""
