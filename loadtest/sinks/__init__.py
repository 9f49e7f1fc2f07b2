"""Peers that speak the real protocols on 127.0.0.1 and keep an account of what they got."""
