"""Names of ESPnet's YAML keys: which of them define a model, which only its training.

Released and self-made ESPnet YAML files carry about 150 keys. Loading a model reads the first
group strictly and ignores the second (the union of versions 202402, 202511 and 202611).
"""

_MODEL = """
frontend frontend_conf specaug specaug_conf normalize normalize_conf preencoder preencoder_conf
encoder encoder_conf masker masker_conf util loss loss_conf model model_conf init
"""

_TRAINING = """
accum_grad adapter adapter_conf allow_multi_rates allow_variable_data_keys batch_bins batch_size
batch_type best_model_criterion bpemodel broadcast_buffers bucket_cap_mb category_sample_size
category_upsampling_factor chunk_default_fs chunk_discard_short_samples
chunk_excluded_key_prefixes chunk_length chunk_max_abs_length chunk_shift_ratio cleaner
collate_fn_conf collect_stats compress_gradients config create_graph_in_tensorboard
cudnn_benchmark cudnn_deterministic cudnn_enabled dataset_scaling_factor
dataset_upsampling_factor ddp_comm_hook deepspeed_config detect_anomaly dist_backend
dist_init_method dist_launcher dist_master_addr dist_master_port dist_rank dist_world_size
distributed
drop_last_iter dry_run early_stopping_criterion exclude_weight_decay exclude_weight_decay_conf
fold_length freeze_param g2p grad_clip grad_clip_type grad_noise gradient_as_bucket_view
ignore_init_mismatch init_param input_size iterator_type keep_nbest_models local_rank
log_interval log_level loss_weights max_batch_size max_cache_fd max_cache_size max_epoch
min_batch_size multi_task_dataset multiple_iterator multiprocessing_distributed
nbest_averaging_interval ngpu no_forward_run noise_apply_prob noise_db_range noise_scp
non_linguistic_symbols num_att_plot num_cache_chunks num_classes num_iters_per_epoch num_workers
optim optim_conf output_dir patience pred_masked_weight pred_nomask_weight pretrain_path
print_config required resume rir_apply_prob rir_scp save_strategy scheduler scheduler_conf seed
sharded_ddp shuffle_within_batch sort_batch sort_in_batch speech_volume_normalize static_graph
token_list token_type train_data_path_and_name_and_type train_dtype train_shape_file
unused_parameters upsampling_factor use_adapter use_amp use_deepspeed use_matplotlib
use_preprocessor use_tensorboard use_tf32 use_wandb val_scheduler_criterion valid_batch_bins
valid_batch_size valid_batch_type valid_data_path_and_name_and_type valid_iterator_type
valid_max_cache_size valid_shape_file validate_each_iter_factory version wandb_allow_val_change
wandb_entity wandb_id wandb_model_log_interval wandb_name wandb_project window_shift window_size
write_collected_feats
"""

_HUGGING_FACE = """
_name_or_path architectures auto_map dtype hearing model_type probe torch_dtype transformers_version
vocab_size xeus_version
"""

MODEL_KEYS = frozenset(_MODEL.split())
TRAINING_KEYS = frozenset(_TRAINING.split())
HUGGING_FACE_KEYS = frozenset(_HUGGING_FACE.split())  # of a config.json
