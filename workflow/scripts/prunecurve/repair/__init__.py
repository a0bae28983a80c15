"""Smaller networks: channels of some layers are gone, and the layers behind them are fitted to make up for it."""
