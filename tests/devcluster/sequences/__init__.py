"""What happens to objects over time, recorded on any cluster and compared with what a real control plane did."""
