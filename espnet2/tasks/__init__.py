"""The public doors, named as in ESPnet."""
