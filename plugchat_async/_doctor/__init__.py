"""What `plugchat_async.doctor` is made of: probes, what they mean, and in which order they are made."""
